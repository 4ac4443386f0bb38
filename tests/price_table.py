"""A table of invented prices, in which nothing is unknown that an untuned arm needs."""

from __future__ import annotations

PRICES = """item,amount,unit,currency,date,source
prompt_tokens,0.2,million tokens,EUR,2031-03-01,invented for a test
completion_tokens,0.8,million tokens,EUR,2031-03-01,invented for a test
machine,0.6,hour,EUR,2031-03-01,invented for a test
index,15,month,EUR,2031-03-01,invented for a test
index_storage,0.1,GiB month,EUR,2031-03-01,invented for a test
wrong_answer,0.05,answer,EUR,2031-03-01,invented for a test
"""
