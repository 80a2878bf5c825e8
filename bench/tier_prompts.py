"""What `bench/tiers.py` measures on: 132 requests with the tier that we say each belongs to, 22 for each of three tiers
in English and in Korean.

Ours, and small: written and labelled for Hanok by its authors, before the rules were run on them, and not used to set
a threshold. They are short single questions; real traffic has histories, documents and tools.
"""

from __future__ import annotations

ENGLISH = {
    "simple": """
What year did the Berlin Wall fall?
Label the sentiment of this tweet: "best concert of my life!!"
Pull the order number out of this message: "Hi, my order #88213 has not arrived."
thanks, that's all
Who wrote Pride and Prejudice?
Is 91 a prime number?
Which language is this sentence written in: "Hvor er biblioteket?"
Give me the plural of "ox".
What's the boiling point of ethanol?
Spam or not spam: "You have WON a free cruise, click here"
Return only the city from this address: 12 Rue Lafayette, 75009 Paris
good morning
How do you spell "accommodate"?
What is 15% of 240?
Name the chemical symbol for silver.
Tag this headline with one topic (sports, politics, tech): "Parliament votes on new budget"
When is Mother's Day in the US?
Does this text mention a price? "The lamp is now $39."
Put these words in alphabetical order: pear, apple, fig
What's the past tense of "to swim"?
Find the total in this receipt: coffee 3.00, cake 4.50, total 7.50
True or false: the moon is larger than the earth.
""",
    "moderate": """
Give me the gist of the report below in a few bullet points.
Put this into Spanish, keep it polite: "Could you send us the invoice by Friday?"
Write a thank-you note to a colleague who helped me with a presentation.
How does a heat pump work?
Make this sentence sound less harsh: "Your work is late again."
What should I cook tonight with chickpeas, spinach and rice?
Help me prepare small talk topics for a conference dinner.
Write a haiku about the first snow.
Explain what inflation means and why people worry about it.
Can you write a LinkedIn post announcing that I have started a new job as a nurse?
Recommend some novels similar to The Remains of the Day, and say why.
Condense this chat log into the decisions that were taken.
I'm nervous about moving to another country. Any advice?
Compose a polite reply that declines the vendor's offer.
What is the difference between a crocodile and an alligator?
Tell me about the history of the bicycle.
Come up with names for a small bakery by the sea.
Rephrase the announcement below for a younger audience.
Translate this menu into English and add a short description of each dish.
Write the text of an invitation to a housewarming party.
Give an overview of the main religions in India.
How can I fall asleep faster?
""",
    "complex": """
Write a Rust program that parses a log file and reports the ten slowest endpoints.
Our churn rose from 2% to 5% in a quarter. Work out the likely causes from the table and say how to test each.
Show that the square root of 2 is irrational.
My React component renders twice and the second render loses state. Find the bug and correct it.
Given the constraints below, find the cheapest delivery schedule and show your reasoning.
Build a regular expression that validates ISO 8601 durations and cover the edge cases with tests.
Critically assess the argument in this essay and identify its logical fallacies.
Architect a multi-region event pipeline that survives the loss of one region. Discuss consistency trade-offs.
Solve for x: 3x^2 - 7x + 2 = 0, then interpret the roots geometrically.
Write a Kubernetes operator in Go that restarts pods when a ConfigMap changes.
Three people share a taxi with different destinations; work out a fair split of the fare and argue why it is fair.
Convert this recursive function into an iterative one and argue that both give the same result.
Forecast next year's revenue under three scenarios and state the assumptions behind each.
Why does this query take 40 seconds? EXPLAIN ANALYZE output follows. Suggest indexes.
Write a bash script that rotates backups, keeps seven daily and four weekly ones, and is safe to rerun.
Review this pull request for security problems: def login(u, p): return db.run(f"select * from users where n='{u}'")
Weigh the evidence for and against a four-day week and reach a conclusion for a factory with night shifts.
Compute the eigenvalues of [[2, 1], [1, 3]] and explain each step.
Develop a go-to-market plan for a medical device start-up, including pricing, regulation and staffing.
Write a function in TypeScript that debounces async calls and add types for the generics.
If all bloops are razzies and some razzies are lazzies, must some bloops be lazzies? Justify the answer formally.
Identify the root cause of the outage from these three logs and propose preventive measures.
""",
}

KOREAN = {
    "simple": """
프랑스의 수도가 어디야?
이 댓글의 감정을 긍정/부정/중립 중에서 골라줘: "서비스가 최고예요"
아래 문자에서 운송장 번호만 알려줘: "송장번호 6123-8845 발송되었습니다"
네 감사합니다
한글은 누가 만들었어?
37은 소수야?
다음 문장은 어느 나라 말이야: "Guten Morgen"
물의 끓는점은 몇 도야?
이 메일은 스팸이야 아니야? "무료 경품 당첨, 지금 클릭"
주소에서 시 이름만 출력해줘: 부산광역시 해운대구 우동 123
좋은 아침이에요
240의 15퍼센트는 얼마야?
은의 원소 기호는?
이 기사 제목의 주제를 하나만 골라줘(스포츠, 정치, 기술): "국회 예산안 통과"
추석은 올해 며칠이야?
이 문장에 가격이 나와 있어? "램프는 39,000원입니다"
가나다순으로 정렬해줘: 사과, 배, 감
'기쁘다'의 반대말은?
영수증에서 합계만 찾아줘: 커피 3,000 케이크 4,500 합계 7,500
참 거짓으로 답해: 달은 지구보다 크다.
KTX로 서울에서 부산까지 몇 시간 걸려?
띄어쓰기 고쳐줘: 아버지가방에들어가신다
""",
    "moderate": """
아래 보고서의 핵심만 몇 가지로 간추려줘.
이 문장을 공손한 일본어로 옮겨줘: "금요일까지 청구서를 보내 주시겠어요?"
발표 준비를 도와준 동료에게 보낼 감사 인사를 써줘.
히트펌프는 어떤 원리로 난방을 해?
이 말을 조금 부드럽게 바꿔줘: "또 늦으셨네요."
병아리콩이랑 시금치로 오늘 저녁 뭐 해 먹을까?
첫눈에 대한 짧은 시를 써줘.
인플레이션이 무엇이고 사람들이 왜 걱정하는지 알려줘.
간호사로 이직했다는 소식을 알리는 SNS 글을 작성해줘.
'남아 있는 나날'과 비슷한 소설을 추천하고 이유도 말해줘.
이 대화 내용을 결정된 사항 위주로 정리해줘.
해외로 이사 가는 게 걱정되는데 조언해줄래?
업체의 제안을 정중히 거절하는 답장을 써줘.
악어와 앨리게이터는 어떻게 달라?
자전거의 역사에 대해 이야기해줘.
바닷가 작은 빵집 이름을 몇 개 지어줘.
아래 공지를 청소년이 읽기 쉽게 고쳐 써줘.
이 메뉴판을 영어로 번역하고 음식마다 짧은 설명을 붙여줘.
집들이 초대장 문구를 만들어줘.
인도의 주요 종교를 개괄해줘.
잠이 빨리 오게 하려면 어떻게 해야 해?
면접에서 자기소개를 어떻게 하면 좋을까?
""",
    "complex": """
로그 파일을 읽어 가장 느린 엔드포인트 열 개를 보고하는 러스트 프로그램을 짜줘.
이탈률이 한 분기에 2%에서 5%로 올랐어. 표를 보고 유력한 원인을 추론하고 각각 어떻게 검증할지 말해줘.
루트 2가 무리수임을 보여줘.
리액트 컴포넌트가 두 번 렌더링되면서 상태가 사라져. 버그를 찾아 고쳐줘.
아래 제약 조건에서 비용이 가장 낮은 배송 일정을 구하고 풀이 과정을 보여줘.
ISO 8601 기간을 검증하는 정규식을 만들고 경계 사례를 테스트로 확인해줘.
이 에세이의 논증을 비판적으로 검토하고 논리적 오류를 지적해줘.
한 리전이 장애가 나도 버티는 멀티 리전 이벤트 파이프라인 아키텍처를 설계해줘.
3x^2 - 7x + 2 = 0을 풀고 근의 기하학적 의미를 해석해줘.
ConfigMap이 바뀌면 파드를 재시작하는 쿠버네티스 오퍼레이터를 Go로 만들어줘.
세 사람이 택시를 같이 탔는데 목적지가 달라. 공정한 요금 분담 방식을 계산하고 근거를 대줘.
이 재귀 함수를 반복문으로 바꾸고 두 함수의 결과가 같음을 논증해줘.
내년 매출을 세 가지 시나리오로 예측하고 각 가정의 근거를 밝혀줘.
이 쿼리가 40초나 걸리는 이유를 실행 계획을 보고 진단하고 인덱스를 제안해줘.
일간 7개, 주간 4개를 남기고 백업을 순환시키는 배시 스크립트를 작성해줘.
이 풀 리퀘스트의 보안 취약점을 찾아줘: def login(u, p): return db.run(f"select * from users where n='{u}'")
주 4일제에 대한 찬반 근거를 따져 보고 야간 교대가 있는 공장에 대해 결론을 내려줘.
행렬 [[2, 1], [1, 3]]의 고윳값을 구하고 각 단계를 설명해줘.
의료기기 스타트업의 시장 진입 계획을 가격, 규제, 인력까지 포함해 수립해줘.
비동기 호출을 디바운스하는 타입스크립트 함수를 제네릭 타입과 함께 작성해줘.
모든 A가 B이고 일부 B가 C라면 일부 A는 반드시 C인가? 형식적으로 논증해줘.
세 개의 로그를 보고 장애의 근본 원인을 찾고 재발 방지 대책을 제시해줘.
""",
}


def prompts() -> list[tuple[str, str, str]]:
    """Every request: its tier, its language (`en` or `ko`), its text."""
    return [
        (tier, language, line)
        for language, tiers in (("en", ENGLISH), ("ko", KOREAN))
        for tier, text in tiers.items()
        for line in text.strip().splitlines()
    ]
