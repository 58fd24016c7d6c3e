"""The declarations as people write them: YAML and Markdown, checked, with the line of each
fault.
"""
