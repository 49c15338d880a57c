"""What members are worth: scores, cohorts, and models of what they will buy. Pure functions and what they are about."""
