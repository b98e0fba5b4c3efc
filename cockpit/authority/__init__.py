"""The service that commits: the only thing that loosens. Every doubt refuses."""
