"""The shop's HTML. Everything from the data file or the visitor is escaped here and nowhere else."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from demo_shop.catalogue import PAGE_SIZE, Product

STYLE = """
*{box-sizing:border-box}body{margin:0;font-family:"Apple SD Gothic Neo","Malgun Gothic","Noto Sans KR",sans-serif;
color:#1d1d1f;background:#fafaf8;line-height:1.6}a{color:inherit;text-decoration:none}
header{background:#fff;border-bottom:1px solid #e6e6e1}
header>div,main,footer{max-width:1040px;margin:auto;padding:18px 20px}
header>div{display:flex;gap:24px;align-items:center;flex-wrap:wrap}.brand{font-weight:700;font-size:20px;color:#2f6f5e}
form{display:flex;flex:1;max-width:480px}input{flex:1;padding:9px 14px;border:1px solid #ccc;border-radius:8px 0 0 8px}
button{padding:9px 18px;border:0;background:#2f6f5e;color:#fff;border-radius:0 8px 8px 0}
.result-list{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:18px}
.result{background:#fff;border:1px solid #e6e6e1;border-radius:12px;overflow:hidden}
.result img{width:100%;height:150px;object-fit:cover;object-position:top;display:block}
.result a,.result .price{display:block;padding:8px 14px}
.price{font-weight:700;color:#94414a}.result .price{padding-top:0}
.product{background:#fff;border:1px solid #e6e6e1;border-radius:12px;padding:28px}.product .price{font-size:26px}
dl{display:grid;grid-template-columns:90px 1fr;gap:6px 12px}dt{color:#777}dd{margin:0}
.options{list-style:none;padding:0;display:flex;gap:8px;flex-wrap:wrap;margin:0}
.options li{border:1px solid #ccc;border-radius:20px;padding:1px 12px}
.detail-images img{display:block;width:100%;max-width:860px;margin:20px auto;border:1px solid #eee}
nav a{margin-right:12px}footer,.muted{color:#777;font-size:14px}
"""


def won(price: int) -> str:
    """12900 → `12,900원`."""
    return f"{price:,}원"


def layout(title: str, body: str, query: str = "") -> str:
    return f"""<!doctype html>
<html lang="ko"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)} · 플로우 상점</title><style>{STYLE}</style></head><body>
<header><div><a class="brand" href="/">플로우 상점</a>
<form action="/search"><input name="q" value="{escape(query)}" placeholder="찾는 상품을 적어 주세요"
aria-label="검색어">
<button>검색</button></form></div></header>
<main>{body}</main>
<footer>실제로 팔지 않는 시연용 상점입니다.</footer></body></html>"""


def home(products: Sequence[Product]) -> str:
    categories = dict.fromkeys(product.category for product in products)
    links = "".join(f'<a href="/search?{urlencode({"q": name})}">{escape(name)}</a>' for name in categories)
    return layout("처음", f"<h1>오늘의 상품</h1><nav>{links}</nav>{_cards(products[::40])}")


def results(query: str, found: Sequence[Product], page: int) -> str:
    shown = found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    pages = range(1, -(-len(found) // PAGE_SIZE) + 1)
    links = "".join(f'<a href="/search?{urlencode({"q": query, "page": n})}">{n}</a>' for n in pages)
    heading = f"<h1>‘{escape(query)}’ 검색 결과</h1><p class='muted'>상품 {len(found)}개</p>"
    nothing = "" if shown else "<p class='empty'>찾는 상품이 없습니다.</p>"
    nav = f"<nav class='pages'>{links}</nav>" if len(pages) > 1 else ""
    return layout(f"{query} 검색", heading + nothing + _cards(shown) + nav, query)


def product(item: Product) -> str:
    options = "".join(f"<li>{escape(option)}</li>" for option in item.options)
    shown = enumerate(item.images, start=1)
    images = "".join(f'<img src="/images/{item.id}/{n}.png" alt="상세 이미지 {n}" loading="lazy">' for n, _ in shown)
    body = f"""<article class="product"><p class="muted">{escape(item.category)}</p>
<h1 class="name">{escape(item.name)}</h1><p class="price">{won(item.price)}</p>
<dl><dt>평점</dt><dd class="rating">{item.rating} / 5 ({item.reviews})</dd>
<dt>선택</dt><dd><ul class="options">{options}</ul></dd>
<dt>소재</dt><dd class="material">{escape(item.material)}</dd>
<dt>제조국</dt><dd class="origin">{escape(item.origin)}</dd>
<dt>제조사</dt><dd class="maker">{escape(item.maker)}</dd></dl>
<p class="description">{escape(item.description)}</p></article>
<section class="detail-images">{images}</section>"""
    return layout(item.name, body)


def missing() -> str:
    return layout("없는 쪽", "<h1>찾는 쪽이 없습니다</h1><p><a href='/'>처음으로 돌아가기</a></p>")


def _cards(products: Sequence[Product]) -> str:
    cards = "".join(
        f'<li class="result"><a href="/products/{item.id}">'
        f'<img src="/images/{item.id}/1.png" alt="" loading="lazy"></a>'
        f'<a class="title" href="/products/{item.id}">{escape(item.name)}</a>'
        f'<span class="price">{won(item.price)}</span></li>'
        for item in products
    )
    return f'<ul class="result-list">{cards}</ul>'
