"""From the files of a frozen set to a trained model."""
