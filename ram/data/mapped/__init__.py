"""A user's own HDF5 file, read in place: a mapping says where inputs, targets and axes lie in it.

``settings`` is what a user writes, ``places`` finds it in the file, ``recorded`` reads the inputs, ``windows`` and
``lengths`` cut and pad them, ``columns`` reads one value a sample, ``labels`` names and parts the samples, ``head``
puts all together, ``digests`` notices a file that changed, and ``source`` hands out the samples.
"""
