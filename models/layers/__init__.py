"""Small layers the models are made of."""
