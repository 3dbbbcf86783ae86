"""The benchmark of maps against what is known of them: its tasks, what is measured of a run, and the page."""
