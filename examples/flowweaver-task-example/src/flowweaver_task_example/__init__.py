"""Task types of an installed package: importing this registers them. A module per type, its texts beside it."""

from flowweaver_task_example import csv_fetch, image_thumbnail, text_word_count

__all__ = ["csv_fetch", "image_thumbnail", "text_word_count"]
