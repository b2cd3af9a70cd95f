"""Agora's Call Inspector and Data Insights over a fake wire."""
