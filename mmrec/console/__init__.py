"""What the console shows, without a browser: views of answers, and what may change something."""
