"""The dashboard as it is built and served; what people do in it is tested in a browser."""
