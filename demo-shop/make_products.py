"""Writes src/demo_shop/products.json from catalogue.txt: the same text gives the same file, byte for byte.

No two products share a name, a price, their options or the text of their images. What a person chose (names, materials,
what a thing is for) stands in catalogue.txt; sizes, options, ratings and reviews are drawn here from a seed.
"""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGET = HERE / "src" / "demo_shop" / "products.json"


@dataclass(frozen=True)
class Trade:
    """What the products of one category have in common. `sizes` hold `{a}`, `{b}`, `{c}` for numbers."""

    options: tuple[str, ...]
    sizes: tuple[str, ...]
    care: tuple[str, ...]
    features: tuple[str, ...]
    contents: tuple[str, ...]
    makers: tuple[str, ...]


COLOURS = ("아이보리", "네이비", "차콜", "민트", "베이지", "올리브", "버건디", "스카이블루", "라벤더", "머스타드")
MADE_IN = ("대한민국", "베트남", "중국", "인도네시아", "독일", "일본", "이탈리아", "태국")

TRADES = {
    "주방용품": Trade(
        COLOURS,
        ("지름 {a}.{c}cm, 높이 {b}.5cm", "가로 {b}cm, 세로 {a}cm"),
        (
            "부드러운 수세미와 중성세제로 씻어 주세요",
            "식기세척기 사용 가능, 전자레인지 사용 불가",
            "첫 사용 전 끓는 물에 한 번 헹구세요",
        ),
        (
            "손에 닿는 모서리를 둥글게 다듬었습니다",
            "물 얼룩이 적어 늘 새것처럼 보입니다",
            "냄새와 색이 배지 않는 소재입니다",
        ),
        ("본품 1개, 사용 설명서", "본품 1개, 전용 파우치", "본품 1개, 교체용 패킹"),
        ("한솔주방", "다온키친", "오븐과나무"),
    ),
    "침구": Trade(
        ("싱글", "슈퍼싱글", "퀸", "킹", *COLOURS[:6]),
        ("가로 {b}0cm, 세로 {a}0cm", "가로 {b}5cm, 세로 {a}5cm"),
        (
            "30도 이하의 찬물에 단독 세탁하세요",
            "건조기는 저온으로 짧게 사용하세요",
            "표백제를 쓰지 말고 그늘에서 말리세요",
        ),
        (
            "세탁해도 색이 빠지지 않게 염색했습니다",
            "먼지가 적게 나도록 촘촘히 마감했습니다",
            "봉제선을 두 번 박아 튼튼합니다",
        ),
        ("본품 1장, 보관 가방", "본품 1개, 세탁망", "본품 1장"),
        ("포근한밤", "솜이불집", "달빛침구"),
    ),
    "의류": Trade(
        ("S(90)", "M(95)", "L(100)", "XL(105)", *COLOURS[:6]),
        ("총장 6{c}cm, 단면 5{c}cm", "둘레 {b}cm, 길이 {a}.5cm"),
        ("뒤집어서 세탁망에 넣어 빨아 주세요", "찬물에 손세탁하고 비틀어 짜지 마세요", "드라이클리닝을 권장합니다"),
        (
            "여러 번 빨아도 모양이 변하지 않습니다",
            "구김이 적어 다림질이 필요 없습니다",
            "실밥이 보이지 않게 안쪽까지 마감했습니다",
        ),
        ("의류 1벌, 여분 단추", "의류 1벌, 더스트백", "의류 1벌"),
        ("바른옷", "느린재봉", "온더데이"),
    ),
    "전자기기": Trade(
        (*COLOURS[:5], "C타입 케이블 포함", "전용 케이스 포함", "본체만", "2년 보증 연장"),
        ("가로 {a}{c}mm, 세로 {b}{c}mm", "높이 {b}.{c}cm, 폭 {a}cm"),
        ("젖은 천 대신 마른 천으로 닦아 주세요", "습기와 열을 피해 보관하세요", "통풍구를 막지 말고 사용하세요"),
        (
            "떨어뜨려도 깨지지 않게 모서리를 감쌌습니다",
            "설명서 없이도 쓸 만큼 조작이 쉽습니다",
            "전자파 적합성 인증을 받았습니다",
        ),
        ("본체, 충전 케이블, 설명서", "본체, 파우치, 설명서", "본체, 예비 부품, 보증서"),
        ("소리와빛", "전파상점", "온기전자"),
    ),
    "욕실용품": Trade(
        (*COLOURS[:6], "단품", "리필 포함", "대용량", "선물 포장"),
        ("가로 {b}cm, 세로 {a}cm", "높이 {b}.{c}cm, 지름 {a}cm"),
        ("사용 뒤 물기를 털어 걸어 두세요", "직사광선을 피해 서늘한 곳에 두세요", "한 달에 한 번 뜨거운 물로 헹구세요"),
        ("욕실에 두어도 모양이 변하지 않습니다", "피부 자극 시험을 마친 제품입니다", "포장까지 재활용할 수 있습니다"),
        ("본품 1개, 부착 패드", "본품 1개, 여행용 파우치", "본품 1개"),
        ("맑은물", "하얀욕실", "거품공방"),
    ),
    "문구": Trade(
        ("검정", "파랑", "빨강", "무지", "줄선", "모눈", "선물 상자", *COLOURS[:4]),
        ("가로 {a}{c}mm, 세로 2{b}mm", "길이 1{b}mm, 두께 {a}mm"),
        ("뜨거운 곳과 물기를 피해 보관하세요", "사용 뒤 뚜껑을 꼭 닫아 주세요", "어린이가 입에 넣지 않게 하세요"),
        ("왼손으로 써도 편합니다", "서랍에 쏙 들어가는 크기입니다", "책상 위에 두기 좋은 차분한 색입니다"),
        ("본품 1개, 리필 1개", "본품 1세트, 보관함", "본품 1개"),
        ("종이마을", "글씨공작소", "연필가게"),
    ),
    "반려동물": Trade(
        ("소형", "중형", "대형", "1개", "2개 묶음", "연어맛", "닭고기맛", *COLOURS[:3]),
        ("가로 {b}cm, 높이 {a}cm", "무게 {a}.{c}kg, 길이 {b}cm"),
        ("미지근한 물로 씻어 그늘에 말리세요", "개봉 뒤 밀봉하여 한 달 안에 쓰세요", "씹어 삼키지 않게 지켜봐 주세요"),
        ("수의사가 권하는 재료로 만들었습니다", "포장을 열고 바로 쓸 수 있습니다", "해로운 물질 검사를 통과했습니다"),
        ("본품 1개, 사용 안내서", "본품 1봉, 계량컵", "본품 1개"),
        ("멍냥상회", "꼬리치는집", "발바닥연구소"),
    ),
    "캠핑": Trade(
        (*COLOURS[:6], "가방 포함", "1인용", "2인용", "4인용"),
        ("펼친 길이 1{b}cm, 접은 길이 3{c}cm", "가로 {b}cm, 높이 {a}cm"),
        (
            "젖은 채로 접지 말고 완전히 말려 주세요",
            "흙을 털고 마른 천으로 닦아 주세요",
            "불꽃 가까이에서 사용하지 마세요",
        ),
        ("비를 맞아도 쉽게 상하지 않습니다", "한 손으로 들 수 있는 무게입니다", "짐칸에 쉽게 들어가는 크기입니다"),
        ("본품 1개, 수납 가방", "본품 1개, 고정 팩 6개", "본품 1개, 수선 조각"),
        ("숲과밤", "바람야영", "별헤는캠프"),
    ),
    "운동": Trade(
        (*COLOURS[:6], "약한 강도", "보통 강도", "강한 강도", "운동 안내책 포함"),
        ("길이 1{b}cm, 폭 {a}cm", "지름 {a}.{c}cm, 길이 {b}cm"),
        (
            "땀을 닦고 통풍이 되는 곳에 두세요",
            "중성세제를 묻힌 천으로 닦아 주세요",
            "햇빛에 오래 두면 색이 바랠 수 있습니다",
        ),
        ("땀이 닿아도 색이 변하지 않습니다", "처음 시작하는 사람에게 알맞습니다", "가벼워서 들고 다니기 좋습니다"),
        ("본품 1개, 운반 끈", "본품 1개, 운동 포스터", "본품 1개, 그물 가방"),
        ("튼튼상사", "하루운동", "몸마음"),
    ),
    "가구": Trade(
        ("오크", "월넛", "화이트", "블랙", "메이플", "직접 조립", "완제품 배송", "설치 포함"),
        ("가로 1{b}cm, 깊이 3{c}cm, 높이 7{c}cm", "가로 {b}cm, 높이 1{a}cm"),
        (
            "마른 천으로 닦고 물기는 바로 훔치세요",
            "직사광선과 난방기 옆을 피해 두세요",
            "나사는 여섯 달마다 다시 조여 주세요",
        ),
        (
            "냄새가 적은 친환경 자재를 썼습니다",
            "어느 방에나 어울리는 단정한 모양입니다",
            "모서리를 손으로 다듬어 마감했습니다",
        ),
        ("본품 1개, 조립 공구", "본품 1개, 벽 고정 부품", "본품 1개, 설명서"),
        ("나무와사람", "작은공방", "살림가구"),
    ),
    "식품": Trade(
        ("1개", "2개 묶음", "3개 묶음", "선물 포장", "가정용", "소포장", "대용량", "정기 배송", "보자기 포장"),
        ("가로 {b}cm, 높이 {a}cm", "상자 가로 {b}.{c}cm, 세로 {a}cm"),
        ("서늘하고 건조한 곳에 보관하세요", "개봉 뒤 냉장 보관하고 빨리 드세요", "직사광선을 피해 실온 보관하세요"),
        ("방부제와 색소를 넣지 않았습니다", "주문을 받은 뒤 만들어 보냅니다", "산지에서 바로 가져와 신선합니다"),
        ("제품 1개, 아이스팩", "제품 1개, 보관용 집게", "제품 1개"),
        ("산들농장", "어머니부엌", "햇살식품"),
    ),
    "뷰티": Trade(
        ("소용량", "대용량", "파우치 포함", "단품", "1+1 기획", "리필 포함", "여행용 추가", "선물 포장", "2개 묶음"),
        ("용기 높이 {a}.{c}cm, 무게 {b}g", "가로 {a}.{c}cm, 세로 {b}mm"),
        ("눈에 들어가면 바로 물로 씻어 내세요", "상처가 있는 곳에는 쓰지 마세요", "개봉 뒤 열두 달 안에 사용하세요"),
        ("처음 쓰는 사람도 다루기 쉽습니다", "동물 실험을 하지 않은 제품입니다", "선물하기 좋은 상자에 담았습니다"),
        ("본품 1개, 견본 2매", "본품 1개, 스패출러", "본품 1개"),
        ("고운결", "이슬화장", "하루살결"),
    ),
    "유아동": Trade(
        ("80 사이즈", "90 사이즈", "100 사이즈", "1개", "2개 묶음", "이름 새김", *COLOURS[:4]),
        ("가로 {b}cm, 세로 {a}cm", "높이 {b}cm, 무게 {a}{c}0g"),
        ("40도 물에 아기 전용 세제로 빨아 주세요", "삶지 말고 미지근한 물에 헹구세요", "보호자와 함께 사용해 주세요"),
        ("어린이 안전 인증을 받았습니다", "해로운 물질이 없는 소재입니다", "빨거나 닦아서 오래 쓸 수 있습니다"),
        ("본품 1개, 보관 주머니", "본품 1세트, 놀이 안내서", "본품 1개"),
        ("아장아장", "포근토끼", "첫걸음상점"),
    ),
    "자동차용품": Trade(
        ("블랙", "그레이", "베이지", "브라운", "운전석용", "조수석용", "앞뒤 세트", "승용차용", "대형차용"),
        ("가로 {b}cm, 세로 {a}cm", "길이 {b}.{c}cm, 무게 {a}0g"),
        ("물세척 뒤 그늘에서 완전히 말리세요", "운전 중에는 조작하지 마세요", "여름철 차 안에 오래 두지 마세요"),
        (
            "대부분의 차종에 도구 없이 달립니다",
            "흔들림과 소음을 줄이는 구조입니다",
            "햇볕에 갈라지지 않게 가공했습니다",
        ),
        ("본품 1개, 부착 부품", "본품 1개, 예비 테이프", "본품 1개"),
        ("달리는집", "길위의사람", "안전운전사"),
    ),
}


def read_catalogue() -> list[tuple[str, list[str], int, int, str, str, str]]:
    """(category, tags, lowest, highest, name, material, purpose) for each product, in the catalogue's order."""
    found = []
    category = ""
    for line in (HERE / "catalogue.txt").read_text(encoding="utf-8").splitlines():
        if opened := re.fullmatch(r"\[(.+)\]", line):
            category = opened[1]
        elif "|" in line and not line.startswith("#"):
            tags, prices, names, purpose = line.split("|")
            low, high = (int(price) for price in prices.split("-"))
            for entry in names.split(";"):
                name, material = entry.split("@")
                found.append((category, tags.split(","), low, high, name, material, purpose))
    return found


def images(draw: random.Random, trade: Trade, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Two to four detail images: a title and the lines drawn on each."""
    numbers = {"a": draw.randint(7, 18), "b": draw.randint(12, 29), "c": draw.randint(1, 9)}
    size = draw.choice(trade.sizes).format(**numbers)
    made = f"20{draw.randint(24, 25)}년 {draw.randint(1, 12)}월"
    pages = [
        {"title": facts["name"], "lines": [draw.choice(trade.features).format(**numbers), facts["purpose"]]},
        {"title": "제품 정보", "lines": [f"소재: {facts['material']}", f"크기: {size}", f"제조국: {facts['origin']}"]},
        {"title": "관리 방법", "lines": draw.sample(trade.care, 2)},
        {
            "title": "구성과 제조",
            "lines": [f"구성: {draw.choice(trade.contents)}", f"제조사: {facts['maker']}", f"제조년월: {made}"],
        },
    ]
    return pages[: draw.randint(2, 4)]


def make() -> list[dict[str, Any]]:
    draw = random.Random(20240501)
    prices: set[int] = set()
    chosen: set[frozenset[str]] = set()
    products = []
    for number, (category, tags, low, high, name, material, purpose) in enumerate(read_catalogue(), start=1):
        trade = TRADES[category]
        while (price := draw.randrange(low, high + 1, 100)) in prices:
            pass
        prices.add(price)
        while (options := frozenset(draw.sample(trade.options, draw.randint(2, 4)))) in chosen:
            pass
        chosen.add(options)
        origin, maker = draw.choice(MADE_IN if category != "식품" else ("대한민국",)), draw.choice(trade.makers)
        facts = {"name": name, "material": material, "purpose": purpose, "origin": origin, "maker": maker}
        pages = images(draw, trade, facts)
        feature = pages[0]["lines"][0]
        products.append(
            {
                "id": f"p{number:04d}",
                "category": category,
                "name": name,
                "tags": tags,
                "price": price,
                "options": sorted(options, key=trade.options.index),
                "material": material,
                "origin": origin,
                "maker": maker,
                "rating": round(draw.uniform(3.6, 5.0), 1),
                "reviews": draw.randint(3, 1980),
                "description": f"{maker}의 {name}입니다. {purpose}. {feature}.",
                "images": pages,
            }
        )
    return products


def render() -> str:
    """The data file's text: one product per line, so that a changed price is a one-line difference."""
    lines = ",\n".join("  " + json.dumps(product, ensure_ascii=False) for product in make())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
