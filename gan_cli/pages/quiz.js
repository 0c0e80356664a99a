// Asks for each picture, and counts the answers.
(() => {
  const by = (id) => document.getElementById(id);
  const asked = JSON.parse(by("asked").textContent);
  const n = asked.pictures.length;
  const ones = (byte) => byte.toString(2).replaceAll("0", "").length;
  const answers = [];
  let since = performance.now();

  function show() {
    by("progress").value = answers.length;
    if (answers.length === n) {
      finish();
      return;
    }
    by("count").textContent = `${answers.length + 1} of ${n}`;
    by("picture").src = asked.pictures[answers.length];
    since = performance.now();
  }

  function answer(drawn) {
    if (answers.length === n) return;
    answers.push({ drawn, seconds: Math.round(performance.now() - since) / 1000 });
    show();
  }

  function finish() {
    const key = [...atob(asked.key)].map((letter) => ones(letter.charCodeAt(0)) % 2 === 1);
    const right = answers.filter((one, i) => one.drawn === key[i]).length;
    const { low, high, text } = asked.verdicts[right];
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    by("score").textContent =
      `${right} of ${n} right: ${percent(right / n)} (95 % interval ${percent(low)} to ${percent(high)}; guessing: 50 %)`;
    by("verdict").textContent = text;
    for (const kind of ["real", "drawn"]) {
      for (const said of ["real", "drawn"]) {
        by(`${kind}-${said}`).textContent =
          answers.filter((one, i) => key[i] === (kind === "drawn") && one.drawn === (said === "drawn")).length;
      }
    }
    answers.forEach((one, i) => {
      const figure = document.createElement("figure");
      const picture = document.createElement("img");
      picture.src = asked.pictures[i];
      picture.alt = `${key[i] ? "drawn" : "real"}, said to be ${one.drawn ? "drawn" : "real"}`;
      figure.classList.toggle("wrong", one.drawn !== key[i]);
      figure.append(picture);
      by(key[i] ? "seen-drawn" : "seen-real").append(figure);
    });
    const told = { ...asked.facts, n, right, accuracy: right / n, low, high, verdict: text,
      answers: answers.map((one, i) => ({ is: key[i] ? "drawn" : "real", said: one.drawn ? "drawn" : "real",
        seconds: one.seconds })) };
    by("save").addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([JSON.stringify(told, null, 2)], { type: "application/json" }));
      link.download = "quiz.json";
      link.click();
    });
    by("asking").hidden = true;
    by("result").hidden = false;
  }

  by("real").addEventListener("click", () => answer(false));
  by("drawn").addEventListener("click", () => answer(true));
  document.addEventListener("keydown", ({ key, repeat, ctrlKey, metaKey, altKey }) => {
    if (repeat || ctrlKey || metaKey || altKey) return;
    if (key === "r" || key === "R") answer(false);
    if (key === "d" || key === "D") answer(true);
  });
  show();
})();
