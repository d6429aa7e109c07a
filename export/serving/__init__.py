"""A server of exports: TensorFlow Serving's interfaces, and a page to ask it."""
