"""A whole mission on a real model server that is as small and as slow as one may be."""
