"""Saving and loading: archives of JSON and safetensors, written whole or not at all."""
