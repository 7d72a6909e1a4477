"""What the collector does with what it is sent: events to the topic and the overlay, items to the catalogue's topic."""
