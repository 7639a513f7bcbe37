"""How experiments are judged: the rule, and what is told beside it. Pure functions of stored sums."""
