"""From a recipe and the files of a frozen set to a bundle, on any machine; no Spark."""
