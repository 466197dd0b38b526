"""What a model is, the zoo, and how a model is trained, compiled and scored; no Spark."""
