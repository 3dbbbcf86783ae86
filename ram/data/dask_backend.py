"""Joblib's Dask backend, mended in two places (joblib 1.6)."""

from __future__ import annotations

__all__ = ["DaskBackend"]

import asyncio

from joblib._dask import DaskDistributedBackend


class DaskBackend(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
    """Spread work over a Dask cluster.

    Joblib computes in this process where a backend has one worker, whatever process that would be; and a task that
    fails in Dask itself, such as one whose workers are killed one after another, is waited for without end where
    results are taken as they come.
    """

    def effective_n_jobs(self, n_jobs: int = -1) -> int:
        """Return how many tasks run at a time; never one, which joblib would do itself."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    async def _collect(self) -> None:
        while self._continue:
            async for future, result in self.waiting_futures:
                ours = self._results.pop(future)
                callback = self._callbacks.pop(future)
                # Where a task has failed, the result is (type, error, traceback); joblib raises what is an error.
                ended = result[1] if future.status == "error" else result
                ours.set_result(ended)
                callback(ended)
            await asyncio.sleep(0.01)
