"""Content encoders: text, images, attributes."""
