"""What answers the paths of a declared resource: addresses, reads, writes, batches."""
