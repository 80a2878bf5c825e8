"""Jobs beside the models: their namespace and walls, queues, training, and what their machines need."""
