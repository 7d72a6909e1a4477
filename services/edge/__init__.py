"""The edge: who may ask what, and how often, as Envoy and Envoy Gateway are told it."""
