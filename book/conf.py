"""Sphinx's settings of the web edition; `build.py` gathers the pages and calls Sphinx."""

project = "Audio and Speech Processing: Advanced Topics"
author = "the contributors of the course"
project_copyright = "the contributors; text and sound CC BY 4.0, code Apache-2.0"
language = "en"

extensions = ["myst_nb"]
exclude_patterns = []
# `build.py` has executed every notebook already, and put nothing but HTML into what is shown.
nb_execution_mode = "off"
nb_mime_priority_overrides = [("*", "text/html", 0)]
nb_render_image_options = {"alt": "figure of this cell"}
nb_merge_streams = True
nb_render_markdown_format = "gfm"  # tables of the cells are tables
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "tasklist"]
myst_heading_anchors = 3
# The tables of the scoreboard begin at the third level, and pictures of the imports are text here.
suppress_warnings = ["myst.header", "myst-nb.lexer", "misc.highlighting_failure"]

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_show_search_summary = False  # it would fetch pages, which a browser refuses in a folder
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_sourcelink_suffix = ""  # the download button gives the notebook itself
html_show_sphinx = False
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": True,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the side bar already
}
html_context = {"default_mode": "auto"}
# Put beside the pages by `build.py`, so that they ask nobody else for anything.
mathjax_path = "mathjax/tex-mml-chtml.js"
