"""The parts of `python -m benchmarks.compare`: two commits of the service beside each other.

`checkouts` puts each commit into a folder, `rounds` measures both in turn, `counting` counts the instructions of each
(of the program in `workload`), and `verdicts` decides whether they differ.
"""
