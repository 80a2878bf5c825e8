"""Questions written by hand for semantic_cache.py: each with one that means the same, and edits that do not.

The edits change as little as can be: a negation, a number, a name, an opposite, an order, what is asked for. They were
written without looking at what the encoder or the guards make of them.
"""

Case = tuple[str, tuple[str, ...], tuple[str, ...]]

ENGLISH: tuple[Case, ...] = (
    (
        "How do I reset my password?",
        ("What is the way to reset my password?", "I want to reset my password, how?"),
        ("How do I reset my username?", "How do I remember my password?"),
    ),
    (
        "Which drugs are safe during pregnancy?",
        ("What medicines are safe to take while pregnant?",),
        ("Which drugs are not safe during pregnancy?", "Which drugs are unsafe during pregnancy?"),
    ),
    (
        "What is the capital of Australia?",
        ("Which city is Australia's capital?",),
        ("What is the capital of Austria?", "What is the currency of Australia?"),
    ),
    (
        "How many days are in 3 weeks?",
        ("3 weeks are how many days?",),
        ("How many days are in 4 weeks?", "How many hours are in 3 weeks?"),
    ),
    (
        "How do I enable two-factor authentication?",
        ("How can I turn on two-factor authentication?",),
        ("How do I disable two-factor authentication?",),
    ),
    (
        "Can I cancel my order after it has shipped?",
        ("Is it possible to cancel an order that has already shipped?",),
        ("Can I cancel my order before it has shipped?", "Can I track my order after it has shipped?"),
    ),
    (
        "Convert 100 US dollars to euros.",
        ("What are 100 US dollars in euros?",),
        ("Convert 100 euros to US dollars.", "Convert 1000 US dollars to euros."),
    ),
    (
        "Who wrote the novel Emma?",
        ("Who is the author of the novel Emma?",),
        ("When was the novel Emma written?", "Who wrote the novel Emily?"),
    ),
    (
        "What happens if I don't pay my taxes?",
        ("What are the consequences of not paying my taxes?",),
        ("What happens if I pay my taxes?",),
    ),
    (
        "How do I get from Boston to Denver by train?",
        ("What is the way to get from Boston to Denver by train?",),
        ("How do I get from Denver to Boston by train?", "How do I get from Boston to Denver by bus?"),
    ),
    (
        "What are the advantages of solar power?",
        ("What are the benefits of solar power?",),
        ("What are the disadvantages of solar power?", "What are the advantages of wind power?"),
    ),
    ("How long should I boil an egg?", ("For how long do I have to boil an egg?",), ("How long should I fry an egg?",)),
    (
        "Is aspirin good for children?",
        ("Is it good to give aspirin to children?",),
        ("Is ibuprofen good for children?", "Is aspirin bad for children?"),
    ),
    (
        "How do I increase the font size in Word?",
        ("How can I make the font bigger in Word?",),
        ("How do I decrease the font size in Word?", "How do I increase the font size in Excel?"),
    ),
    (
        "What is the minimum age to vote?",
        ("How old do you have to be to vote?",),
        ("What is the maximum age to vote?", "What is the minimum age to drive?"),
    ),
    (
        "What time does the store open on Sunday?",
        ("When does the store open on Sundays?",),
        ("What time does the store close on Sunday?", "What time does the store open on Monday?"),
    ),
    (
        "Write a function that sorts a list in ascending order.",
        ("Write a function to sort a list ascending.",),
        ("Write a function that sorts a list in descending order.",),
    ),
    (
        "How do I import data from a CSV file?",
        ("How can I import a CSV file's data?",),
        ("How do I export data to a CSV file?",),
    ),
    (
        "Is Python faster than Ruby?",
        ("Does Python run faster than Ruby?",),
        ("Is Ruby faster than Python?", "Is Python slower than Ruby?"),
    ),
    (
        "What is the boiling point of water?",
        ("At which temperature does water boil?",),
        ("What is the freezing point of water?",),
    ),
    (
        "Which countries are members of the EU?",
        ("What countries belong to the EU?",),
        ("Which countries are not members of the EU?", "Which countries are members of NATO?"),
    ),
    (
        "How do I delete my account?",
        ("How can I remove my account?",),
        ("How do I create an account?", "How do I recover a deleted account?"),
    ),
    (
        "What is the population of South Korea?",
        ("How many people live in South Korea?",),
        ("What is the population of North Korea?",),
    ),
    (
        "Summarize the causes of World War I.",
        ("Give a summary of what caused World War I.",),
        ("Summarize the causes of World War II.", "Summarize the effects of World War I."),
    ),
    (
        "How do I tell my boss I want to quit?",
        ("What is the best way to tell my boss that I want to quit?",),
        ("How do I tell my boss I want to stay?",),
    ),
    (
        "Should I take vitamin D before a meal?",
        ("Is it better to take vitamin D before a meal?",),
        ("Should I take vitamin D after a meal?", "Should I take vitamin C before a meal?"),
    ),
    ("What does error 404 mean?", ("What is the meaning of error 404?",), ("What does error 403 mean?",)),
    (
        "Explain quantum computing to a child.",
        ("Explain to a child what quantum computing is.",),
        ("Explain quantum computing to a physicist.",),
    ),
    ("Can dogs eat grapes?", ("Is it fine for dogs to eat grapes?",), ("Can cats eat grapes?", "Can dogs eat apples?")),
    (
        "What is the return policy for opened items?",
        ("How does the return policy treat opened items?",),
        ("What is the return policy for unopened items?",),
    ),
)

KOREAN: tuple[Case, ...] = (
    (
        "비밀번호를 재설정하려면 어떻게 해야 하나요?",
        ("비밀번호 재설정은 어떻게 하나요?", "비밀번호를 재설정하는 방법을 알려 주세요."),
        ("아이디를 찾으려면 어떻게 해야 하나요?",),
    ),
    (
        "임신 중에 먹어도 되는 약은 무엇인가요?",
        ("임신 중 복용해도 괜찮은 약은 무엇인가요?",),
        ("임신 중에 먹으면 안 되는 약은 무엇인가요?",),
    ),
    (
        "호주의 수도는 어디인가요?",
        ("호주의 수도는 어느 도시인가요?",),
        ("오스트리아의 수도는 어디인가요?", "호주의 통화는 무엇인가요?"),
    ),
    ("3주는 며칠인가요?", ("3주는 모두 며칠이에요?",), ("4주는 며칠인가요?", "3주는 몇 시간인가요?")),
    (
        "2단계 인증을 켜는 방법을 알려 주세요.",
        ("2단계 인증은 어떻게 켜나요?",),
        ("2단계 인증을 끄는 방법을 알려 주세요.",),
    ),
    (
        "배송된 후에 주문을 취소할 수 있나요?",
        ("이미 배송된 주문도 취소가 되나요?",),
        ("배송되기 전에 주문을 취소할 수 있나요?",),
    ),
    (
        "100달러는 몇 유로인가요?",
        ("100달러를 유로로 바꾸면 얼마인가요?",),
        ("100유로는 몇 달러인가요?", "1000달러는 몇 유로인가요?"),
    ),
    ("소설 토지는 누가 썼나요?", ("소설 토지의 작가는 누구인가요?",), ("소설 토지는 언제 쓰였나요?",)),
    ("세금을 내지 않으면 어떻게 되나요?", ("세금을 안 내면 무슨 일이 생기나요?",), ("세금을 내면 어떻게 되나요?",)),
    (
        "서울에서 부산까지 기차로 어떻게 가나요?",
        ("기차로 서울에서 부산까지 가는 방법이 뭔가요?",),
        ("부산에서 서울까지 기차로 어떻게 가나요?", "서울에서 부산까지 버스로 어떻게 가나요?"),
    ),
    (
        "태양광 발전의 장점은 무엇인가요?",
        ("태양광 발전에는 어떤 장점이 있나요?",),
        ("태양광 발전의 단점은 무엇인가요?", "풍력 발전의 장점은 무엇인가요?"),
    ),
    ("계란은 몇 분 삶아야 하나요?", ("달걀을 몇 분 동안 삶아야 하나요?",), ("감자는 몇 분 삶아야 하나요?",)),
    (
        "아스피린은 아이에게 좋은가요?",
        ("아스피린을 아이에게 먹여도 좋은가요?",),
        ("이부프로펜은 아이에게 좋은가요?", "아스피린은 아이에게 나쁜가요?"),
    ),
    ("글자 크기를 늘리는 방법은?", ("글자 크기는 어떻게 늘리나요?",), ("글자 크기를 줄이는 방법은?",)),
    (
        "투표할 수 있는 최소 나이는 몇 살인가요?",
        ("몇 살부터 투표할 수 있나요?",),
        ("투표할 수 있는 최대 나이는 몇 살인가요?",),
    ),
    (
        "일요일에 가게는 몇 시에 여나요?",
        ("가게는 일요일 몇 시에 문을 여나요?",),
        ("일요일에 가게는 몇 시에 닫나요?", "월요일에 가게는 몇 시에 여나요?"),
    ),
    ("물의 끓는점은 몇 도인가요?", ("물은 몇 도에서 끓나요?",), ("물의 어는점은 몇 도인가요?",)),
    ("한국의 인구는 몇 명인가요?", ("한국에는 몇 명이 살고 있나요?",), ("북한의 인구는 몇 명인가요?",)),
    (
        "계정을 삭제하고 싶어요.",
        ("제 계정을 지우고 싶습니다.",),
        ("계정을 만들고 싶어요.", "삭제한 계정을 복구하고 싶어요."),
    ),
    (
        "비타민 D는 식사 전에 먹어야 하나요?",
        ("비타민 D를 식사 전에 먹는 게 좋은가요?",),
        ("비타민 D는 식사 후에 먹어야 하나요?", "비타민 C는 식사 전에 먹어야 하나요?"),
    ),
    ("개가 포도를 먹어도 되나요?", ("강아지에게 포도를 줘도 되나요?",), ("고양이가 포도를 먹어도 되나요?",)),
    (
        "휴가 신청은 승인이 필요한가요?",
        ("휴가를 신청하려면 승인을 받아야 하나요?",),
        ("휴가 신청은 승인이 필요 없나요?",),
    ),
    ("오류 404는 무슨 뜻인가요?", ("오류 404의 의미가 뭔가요?",), ("오류 403은 무슨 뜻인가요?",)),
    (
        "파이썬은 루비보다 빠른가요?",
        ("파이썬이 루비보다 더 빠른가요?",),
        ("루비는 파이썬보다 빠른가요?", "파이썬은 루비보다 느린가요?"),
    ),
    ("매출이 증가한 지점을 알려 줘.", ("매출이 증가한 지점은 어디야?",), ("매출이 감소한 지점을 알려 줘.",)),
)
