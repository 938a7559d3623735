"""How methods of models are replaced, whatever library they are of, and how they are put back."""
