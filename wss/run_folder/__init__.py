"""The folder of a run: the files that training and evaluation write and read."""
