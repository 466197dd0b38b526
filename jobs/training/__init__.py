"""From features to a registered model: freeze, fit, judge, promote."""
