//! Questions and answers from the structure of documents: headings, lists and tables.
