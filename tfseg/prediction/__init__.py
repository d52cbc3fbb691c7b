"""What --mode=predict is made of: where images come from, what is written of them, and the threads that read and write.

sources     the images of --images or of a split, in groups: files, videos, a camera
video       reads and writes the frames of videos
background  reads ahead and writes behind while the network computes, within a bound of memory
batches     puts images of one size together
outputs/    one file for each output that --outputs may name
submissions/  one file for each benchmark that --submission may name
rasters     label maps of GeoTIFF files of any size, window by window
"""
