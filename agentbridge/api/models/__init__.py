"""What goes in and out, as the document says it: bounded here, and judged by the directory's rules."""
