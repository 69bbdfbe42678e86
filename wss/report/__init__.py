"""Pictures of what trainings learned, and the page that shows them."""
