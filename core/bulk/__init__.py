"""A version's answers for very many images: streamed, resumable, one file at the end."""
