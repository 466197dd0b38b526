"""Which models there are and which one is champion, kept in MLflow."""
