"""What was measured once: records with fingerprints, ladders, and the scoreboard made of them."""
