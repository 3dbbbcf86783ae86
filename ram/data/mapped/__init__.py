"""A user's own HDF5 file, read in place: a mapping says where inputs, targets and axes lie in it.

``settings`` is what a user writes, ``places`` finds it in the file, ``recording`` reads the inputs, ``windows`` cuts
them, ``columns`` reads one value a sample, ``splits`` parts the samples, ``head`` puts all together, ``digests``
notices a file that changed, and ``source`` hands out the samples.
"""
