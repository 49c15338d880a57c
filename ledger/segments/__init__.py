"""The segmenter: a process that follows the views, decides who is in which segment, and records it."""
