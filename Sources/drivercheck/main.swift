print("drivercheck")
