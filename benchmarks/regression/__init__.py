"""The parts of `python -m benchmarks.compare`, which compares two commits of the service.

`checkouts` puts each commit into a folder, `rounds` measures both in turn, `counting` counts the instructions of each
in the program `workload`, and `verdicts` decides whether they differ.
"""
