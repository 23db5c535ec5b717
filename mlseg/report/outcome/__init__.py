"""How well runs predict the outcome of patients: numbers, tables and figures."""
