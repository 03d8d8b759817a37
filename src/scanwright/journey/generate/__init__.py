"""From a folder of images to a generator, to new images and to how good they are."""
