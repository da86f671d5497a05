// What the page says, in both languages.
export const WORDS = {
  en: {
    skip: "To the form", token: "Token of the service", model: "Model", text: "Text", picture: "Choose a picture, or drop it here",
    hint: "Ctrl + Enter asks.", go: "Ask", asking: "Asking …", words: "The words that spoke", regions: "The regions that spoke",
    spokeFor: "spoke for it", spokeAgainst: "spoke against it", empty: "Type a text first.", noPicture: "Choose a picture first.",
    answer: (label, share) => `${label} (${share})`,
    told: (words) => `Spoke most for it: ${words}.`, nothing: "No single word decided it.", nothingRegion: "No single region decided it.",
    without: (word, share) => `“${word}” (without it ${share})`, join: ", ",
    found: (some) => (some === 1 ? "1 thing found" : `${some} things found`), least: "Least confidence",
    marked: "What the pixels are", written: { translation: "Translation", "text-generation": "Reply" },
    pictureOf: (told) => `Your picture. ${told}`,
    tokenWanted: "This service asks for its token.", unreachable: "The service cannot be reached.",
    about: (info) => `${info.name}: ${info.task}, ${info.method}${info.model ? `, ${info.model}` : ""}`,
    score: (value, low, high) => `About ${value} of 100 new inputs right` +
      (low === null ? "." : `; between ${low} and ${high}, as far as could be tested.`),
    licences: (names) => `Licences: ${names}`, other: "中文",
  },
  zh: {
    skip: "跳到表单", token: "服务令牌", model: "模型", text: "文本", picture: "选择图片，或拖到这里",
    hint: "按 Ctrl + Enter 提交。", go: "预测", asking: "正在预测……", words: "起作用的词", regions: "起作用的区域",
    spokeFor: "支持该结果", spokeAgainst: "反对该结果", empty: "请先输入文本。", noPicture: "请先选择图片。",
    answer: (label, share) => `${label}（${share}）`,
    told: (words) => `最支持该结果的词：${words}。`, nothing: "没有哪个词单独起决定作用。", nothingRegion: "没有哪个区域单独起决定作用。",
    without: (word, share) => `“${word}”（去掉后为 ${share}）`, join: "、",
    found: (some) => `找到 ${some} 个目标`, least: "最低置信度",
    marked: "各像素的类别", written: { translation: "译文", "text-generation": "回复" },
    pictureOf: (told) => `您的图片。${told}`,
    tokenWanted: "此服务需要令牌。", unreachable: "无法连接到服务。",
    about: (info) => `${info.name}：${info.task}，${info.method}${info.model ? `，${info.model}` : ""}`,
    score: (value, low, high) => `每 100 条新输入约有 ${value} 条正确` +
      (low === null ? "。" : `；测试得出的范围为 ${low} 至 ${high} 条。`),
    licences: (names) => `许可证：${names}`, other: "English",
  },
};
