"""Parts of sentences for drawn pages, in characters that samples/fonts has."""

from __future__ import annotations

# Separated by white space.
CHINESE_CLAUSES = """
本店春节期间照常营业 请在柜台领取号码 会员购物可享九折优惠 商品售出三日内可以退换 下雨天路面湿滑请小心
发票请在当月内开具 儿童须由家长陪同进入 停车场入口在大楼东侧 请勿在走廊堆放杂物 会议改在下午三点举行
欢迎对我们的服务提出意见 列车将于十分钟后到站 施工期间给您带来不便 身份证原件须随身携带 药品请放在阴凉干燥处
请按照说明书的步骤安装 充电时间大约为两小时 办理业务需要提前预约 合同一式两份各执一份 付款后请保留收据
图书逾期未还将停止借阅 报名截止日期为本月底 贵重物品请自行保管 山区夜间气温较低 该产品保修期为一年
电梯检修请走楼梯 食品开封后尽快食用 湖边风大注意安全 快递员会提前打电话联系 新生凭录取通知书报到
医生建议每天步行半小时 价格以当日标签为准 餐厅位于酒店二层 游客请沿指示牌前进 仓库钥匙交给值班人员
水费可以在网上缴纳 花园里的玫瑰已经开放 旧电池应当单独回收 学校食堂提供免费热汤 我们将尽快答复您的来信
"""

CHINESE_ENDINGS = """
谢谢合作 请互相转告 特此通知 敬请谅解 以免耽误行程 不得转让他人 详情请询问工作人员 祝您身体健康
最终解释权归本店所有 逾期不再办理 希望大家积极参加 否则后果自负 欢迎下次光临 违者按规定处罚 联系电话见背面
"""

ENGLISH_STARTS = (
    "Please keep this ticket", "The museum will be closed", "All passengers should wait",
    "Your parcel was delivered", "We would like to thank you", "The kitchen serves breakfast",
    "Visitors may leave their bags", "Our engineers checked the pump", "Do not open the cover",
    "The library extends its hours", "Fresh bread is baked", "The next meeting takes place",
    "Members receive a discount", "Wash this jacket separately", "The bridge was repaired",
    "Children under twelve travel free", "Payment is due", "A quiet room is available",
    "Bicycles can be rented", "The northern gate is locked", "Heavy rain is expected",
    "Return the signed form", "The battery should be charged", "New courses will begin",
)  # fmt: skip

ENGLISH_ENDINGS = (
    "until the end of the month", "behind the yellow line", "before the weekend", "on the second floor",
    "near the main entrance", "within fourteen days", "with cold water only", "during the holidays",
    "from seven in the morning", "as quickly as possible", "after a short break", "for the whole family",
    "at the market square", "without any extra charge", "every other Thursday", "by the end of March",
    "next to the old harbour", "under the supervision of an adult", "while the machine is running",
)  # fmt: skip

MIXED_NAMES = (
    "USB-C 数据线", "LED 台灯", "T恤 XL", "A4 复印纸", "HDMI 转换器", "5G 手机卡", "Wi-Fi 路由器",
    "Vitamin C 片", "SD 存储卡", "PVC 水管", "GPS 导航仪", "AA 电池", "B2 层停车位", "VIP 会员卡",
)  # fmt: skip

MIXED_LABELS = (
    "订单号 Order", "收件人 Name", "航班 Flight", "座位 Seat", "重量 Weight", "地址 Address", "备注 Note",
    "有效期 Valid until", "单价 Price", "合计 TOTAL", "登机口 Gate", "房间 Room",
)  # fmt: skip

ENGLISH_NAMES = (
    "Green Valley", "Harbour Street", "Maple Court", "North Station", "River View", "Sunrise Hotel",
    "Anna Example", "Mr. Sample", "Orchard Lane", "Silver Lake",
)  # fmt: skip
