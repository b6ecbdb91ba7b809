"""Where the images come from; README.md in this folder is the data set's card."""
