"""How far a study is: its jobs' states from outputs, records and Slurm; loads no torch."""
