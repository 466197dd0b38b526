"""From a trained model to verified, compiled scores."""
