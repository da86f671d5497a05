// The page in Chinese.

const STEPS = [
  [/^Folds of (.+)$/, (name) => `${name}：交叉验证`], [/^Tune (.+) on everything$/, (name) => `用全部数据微调 ${name}`],
  [/^Learning curve$/, () => "学习曲线"], [/^Predict$/, () => "预测"], [/^Look at the pool$/, () => "查看未标注的样例"], [/^Look at what is labelled$/, () => "查看已标注的样例"],
  [/^Encode texts with (.+)$/, (name) => `用 ${name} 编码文本`], [/^Encode pictures.*$/, () => "编码图片"],
  [/^Make views$/, () => "生成增强样本"],
];

export const zh = {
  other: "English", skip: "跳到内容", steps: "步骤", close: "关闭", token: "工作室令牌", go: "进入",
  unreachable: "无法连接到工作室。它还在运行吗？",
  tabs: { data: "1 数据", label: "2 标注", train: "3 训练", see: "4 查看", take: "5 带走" },
  tasks: { "text-classification": "文本，每条一个标签", "image-classification": "图片，每张一个标签", "object-detection": "图片中的物体，各画一个框", segmentation: "图片中的区域，涂色标出" },
  welcome: "给几个样例，点“训练”，看看有多好，再把它带走。一切都留在这台机器上。",
  projects: "项目", newProject: "新建项目", projectName: "名称", projectKind: "要分类的是", create: "创建",
  projectLine: (task, all, labelled) => `${task}；共 ${all} 个样例，已标注 ${labelled} 个`,

  bring: "导入文件", chooseFile: "选择文件，或拖到这里",
  bringTexts: "CSV、TSV、XLSX 或 JSONL：有标签、没有标签或只有部分标签都可以。",
  bringPictures: "图片，或一个 zip：每个标签一个文件夹，或没有标签的图片。",
  bringBoxes: "图片，或一个 zip：只有图片，或附带 COCO JSON、Pascal VOC、YOLO 格式的框。",
  bringMasks: "图片，或一个 zip：只有图片，或附带掩膜（images 和 masks 文件夹、classes.txt）或 COCO JSON。",
  columns: "用哪些列", textColumn: "文本列（留空则自动查找）", labelColumn: "标签列（留空则自动查找）",
  sending: (name, nth, all) => `正在读取 ${name}（第 ${nth} 个，共 ${all} 个）……`,
  brought: (name, added, labelled) => `${name}：${added} 个样例，其中 ${labelled} 个有标签。`,
  undoImport: "撤回这个文件", undone: "已撤回。",
  type: "输入样例", text: "文本", typeHint: "按 Ctrl + Enter 添加。", label: "标签", noLabel: "（无标签）", add: "添加", added: "已保存。",
  rows: "样例", show: "显示", search: "搜索", anyLabel: "（任意）", before: "← 上一页", after: "下一页 →",
  shows: { all: "全部", labelled: "已标注", unlabelled: "未标注", skipped: "已跳过" },
  pageOf: (first, last, all) => `第 ${first} 至 ${last} 个，共 ${all} 个`, noRows: "没有可显示的内容。",
  deleteRow: "删除这个样例", deleted: "已删除。可在“标注”页撤销。", saved: "已保存。",
  savedAs: (label) => `已保存：${label}`, changeTo: (label) => `改为“${label}”`,
  findings: "检查结果", nothingFound: "没有需要处理的问题。", mended: "已处理。", theRows: "相关样例",
  levels: { error: "必须处理", warning: "请看一下", info: "供参考" },
  deleteRepeats: "删除重复项", merge: (from, to) => `把“${from}”并入“${to}”`,
  labels: "标签", newLabel: "新标签", keyOf: "按键", rename: "改名", newName: (name) => `${name} 的新名称`,
  renameThis: (name) => `给 ${name} 改名`, deleteLabel: "删除", deleteThis: (name) => `删除 ${name}`,

  boxes: "框", box: (nth, label) => `${nth}：${label}`, deleteBox: (nth, label) => `删除第 ${nth} 个框（${label}）`, addBox: "添加框", drawHere: "画框",
  saveNext: "保存，下一张", nothingHere: "没有要找的，下一张", savedBoxes: "已保存。", notDrawn: "尚未画框",
  boxesTold: (labels) => (labels.length ? `${labels.length} 个框：${labels.join("、")}` : "没有要找的"),
  proposedBoxes: "这些框是模型画的。请改正错误后保存。",
  boxKeys: [
    ["1 … 9, 0", "下一个框或所选框的标签"], ["拖动", "画框；按住 Shift 可在别的框上画"], ["B", "在中间添加框"], ["N", "选择下一个框"],
    ["方向键", "移动所选框，按住 Shift 改变大小"], ["Del", "删除所选框"], ["U", "撤销"], ["Enter", "保存，下一张"], ["S", "跳过"],
  ],
  painted: "已涂区域", paintHere: "涂色", paintedShare: (label, share) => `${label}：${share}`, unpaint: (label) => `从图片上去掉 ${label}`, notPainted: "尚未涂色",
  brushes: { brush: "画笔", outline: "轮廓", eraser: "橡皮" }, brushSize: "画笔大小", nothingPainted: "全是背景，下一张",
  paintedTold: (labels) => labels.join("、") || "只有背景", proposedMask: "这些区域是模型涂的。请改正错误后保存。",
  maskKeys: [
    ["1 … 9, 0", "要涂的标签"], ["拖动", "涂色"], ["B", "画笔"], ["O", "轮廓：涂满圈内"], ["E", "橡皮"], ["[ ]", "画笔变小或变大"],
    ["方向键", "移动画笔，按住 Shift 则涂色"], ["空格", "涂一点"], ["U", "撤销"], ["Enter", "保存，下一张"], ["S", "跳过"],
  ],
  skipRow: "跳过", skipped: "已跳过。", undo: "撤销", unskip: "找回跳过的样例",
  allDone: "全部样例都已标注或跳过。", nothingToLabel: "还没有可标注的样例。请先在“数据”页导入或输入。",
  guess: (label, share) => `模型认为：${label}（${share}）。按 Enter 采纳。`,
  left: (labelled, left, skipped) => `已标注 ${labelled} 个，剩余 ${left} 个，跳过 ${skipped} 个`,
  keys: "按键", keysOn: "启用这些按键", whatNext: "再多标一些会怎样",
  keyList: [["1 … 9, 0", "对应编号的标签"], ["Enter", "采纳模型的答案"], ["S", "跳过"], ["U", "撤销"]],

  ready: (labelled, labels) => `已有 ${labels} 个标签、${labelled} 个已标注的样例。`,
  budget: "可用时间：", minutes: (some) => `${some} 分钟`, budgetHint: "可能提前结束。时间越多，试的候选越多、越贵。",
  more: "更多选项", method: "方法", trainTitle: "训练模型", train: "训练", trainAnew: "重新训练", stop: "停止", resume: "继续", moment: "请稍候……",
  methods: {
    auto: "自动寻找最好的", tfidf: "词频特征", head: "冻结编码器", prompt: "询问语言模型", contrastive: "对比学习微调", partial: "微调顶部几层",
    lora: "低秩适配器（LoRA）", full: "微调全部参数", blend: "两个候选的混合",
  },
  progress: "进度", statuses: {
    running: "正在训练……", ordering: "模型已就绪，正在为未标注的样例排序……", done: "完成。",
    stopped: "已停止，已完成的部分都保留着。", interrupted: "已中断，已完成的部分都保留着。", failed: "没有成功。",
  },
  timeSpent: (spent, all) => `已用 ${spent}，最多约 ${all}`,
  step: (name) => {
    for (const [pattern, words] of STEPS) {
      const found = name.match(pattern);
      if (found) return words(...found.slice(1));
    }
    return name;
  },
  ladder: "候选", ladderHint: "每个候选都在没有见过的样例上评分；横线表示真实值可能所在的范围。",
  candidate: "候选", accuracy: "正确率", score: "得分", took: "用时", taken: "← 选用", interval: (value, low, high) => `${value}（${low} 至 ${high}）`,
  lookAtIt: "看看它有多好 →",

  noModel: "还没有模型，请先训练。", howGood: "它有多好", behind: (some) => `此后您又标注了 ${some} 个：重新训练即可用上。`,
  tryIt: "试一试", ask: "预测", choosePicture: "选择图片", answer: (label, share) => `${label}（${share}）`,
  spoke: "起作用的词", nothingSpoke: "没有哪个词单独起决定作用。", spokeFor: "支持该结果", spokeAgainst: "反对该结果",
  drawnMistakes: "有错的图片", drawnMistakesHint: "图上是模型在没见过该图片时找到的框。有时是您漏画了框。",
  paintedMistakesHint: "图上是模型在没见过该图片时找到的区域。没有涂色的地方是背景。",
  wrongPixels: (share) => `图片的 ${share} 判错。`,
  missedAndExtra: (missed, extra) => `漏掉 ${missed} 个，误报 ${extra} 个。`,
  mistakes: (some) => `判错的样例（${some}）`, mistakesHint: "最有把握的排在最前。有时错的是标签，而不是模型。",
  mistake: (label, prediction, share) => `标签是 ${label}；没有见过它的模型判为 ${prediction}（${share}）。`, noMistakes: "没有。",
  suspects: (some) => `可能标错的标签（${some}）`, suspectsHint: "请看一看；标签没错就不用动。",
  confusion: "哪一类被判成了哪一类", confusionHint: "每行是真实标签，每列是答案。点数字查看样例。",
  truthBelow: "真实 ↓ 答案 →", cell: (count, truth, predicted) => `${count} 个 ${truth} 被判为 ${predicted}`,
  takenFor: (truth, predicted) => `${truth} 被判为 ${predicted}`, notTried: "没有试的候选及原因",

  theModel: "模型", takeModel: "一个 zip，里面是模型文件夹。运行它不需要本页面、网络或 PyTorch。",
  withPrivate: "包含我的样例（报告以及对各样例的答案）", downloadModel: "下载模型",
  theData: "数据", takeData: "全部样例及其标签。", picturesZip: "图片及标签（zip）",
  theSame: "不用本页面也能做", takeCommands: (name) => `把数据下载为 ${name} 之后：`, terminal: "在终端中", copy: "复制", copied: "已复制。",

  errors: {
    unreachable: "无法连接到工作室。它还在运行吗？", "too-large": "文件超过 400 MB。请拆分，或把图片存小一些。",
    "no-project": "没有这个项目。请回到项目列表。", "no-example": "没有这个样例。请刷新页面。",
    "changed-elsewhere": "这个样例刚在另一个窗口里被改过。请看看现在的内容，如仍有错再改。",
    "no-model": "还没有模型，请先训练。", "disk-full": "磁盘已满，没有保存。请腾出空间后再试。",
    "no-label": "没有这个标签。请先添加。", "label-length": "标签的长度应为 1 到 100 个字符。",
    "too-many-labels": "不同的标签超过 1000 个。请检查标签列是否选对。", "label-in-use": "还有样例使用这个标签。请先改掉它们的标签，或给标签改名。",
    "title-length": "项目名称的长度应为 1 到 100 个字符。", "no-task": "没有这种项目。", "name-taken": "同名项目太多，请换一个名称。",
    "not-a-table": "这不是文本表格。请导入 CSV、TSV、XLSX 或 JSONL 文件；图片请另建项目。",
    "not-pictures": "这既不是图片，也不是图片的 zip。请导入 JPEG 或 PNG，或它们的 zip；文本请另建项目。",
    "zip-bomb": "这个文件解压后会异常膨胀，不像表格或图片。请单独保存表格，或只打包图片。", "too-slow": "文件没有传完，请重新发送。",
    "too-few": "要训练，至少需要两个标签，每个标签至少两个样例。每个五个是好的开始，二十个更好。",
    "too-few-drawn": "要训练，请至少在四张图片上画好。二十张是好的开始。",
    "training-runs": "正在训练。请等待，或先停止它；同一时间只能有一个训练。",
    "training-elsewhere": "另一个工作室（或刚结束的那个）正在训练此项目。请稍后再试。",
    "nothing-to-resume": "没有可以继续的训练。", "bad-mask": "掩膜与图片不符。请刷新页面。", "no-form": "掩膜不能导出为 Label Studio 格式，请用 COCO JSON。",
    "bad-picture": "这张图片无法读取。请换一张 JPEG 或 PNG。", "other-input": "此项目处理的是另一类输入。",
  },
};
