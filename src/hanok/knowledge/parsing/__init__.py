"""From bytes to a document: what a file is, its text, its title, its sections and pages.

Text, Markdown and code are read here and stay what they are, so that offsets point into the file; other formats become
Markdown. All of it runs in processes of their own (`client.Parsers`): a file that crashes, hangs or grows is refused,
and the next one is read.
"""
